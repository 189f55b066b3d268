"""The libraries whose models can be steered, one folder each."""
