"""From labelled pictures to a relation classifier: sources, inversion, recording, training."""
