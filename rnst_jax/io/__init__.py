"""Files: what is accepted, how it is read, how it is written."""
