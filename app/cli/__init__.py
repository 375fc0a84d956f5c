"""The command line: its commands, the doctor, and explanations of failures."""
