"""Work on labels and probabilities: post-processing after any method or model; one file each."""
