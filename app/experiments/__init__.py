"""Experiments: what a user asks to be measured."""
