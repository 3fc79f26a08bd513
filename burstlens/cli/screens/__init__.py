"""What the terminal shows while a verb runs, and when it is done."""
