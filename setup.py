"""What pyproject.toml cannot say: ``models/`` lies beside the package, and is installed within it."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["steering_core*"]), "steering_core.models"],
    package_dir={"steering_core.models": "models"},
    package_data={"steering_core.parser": ["tagger.json"], "steering_core.models": ["**/*"]},
    include_package_data=False,  # these are all; by the manifest too, setuptools takes their folders for lost packages
)
