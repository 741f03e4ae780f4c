"""What images and labels say about themselves, measured before anything is learned from them."""
