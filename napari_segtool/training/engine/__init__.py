"""The training itself: its steps, their schedule, optimiser, number format and threads, and what is shown on the way."""
