"""Files, and what others wrote into them: read with care, written whole or not at all."""
