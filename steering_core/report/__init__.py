"""What is seen of a run, and how it is told: in words, as JSON and as pictures."""
