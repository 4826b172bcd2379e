"""Every change of the tables, oldest first. A released file is never edited."""
