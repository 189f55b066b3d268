"""What is seen in finished pictures: boxes, the detectors that find them, and the names of what they find."""
