"""What setup.py, test.py and exec.py share. Python's standard library only."""
