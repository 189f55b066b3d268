"""The libraries whose models can be steered, one file each."""
