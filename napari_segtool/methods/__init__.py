"""Classical methods: one file is one method."""
