"""Losses: one file is one loss. All leave unlabelled pixels out."""
