"""Tests of the buffer, the model of a loss of power among them (`powerloss`)."""
