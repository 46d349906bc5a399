"""What ``submit.sh`` does once it has found a Python; standard library only."""
