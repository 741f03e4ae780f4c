"""Learners: one file is one learner."""
