"""Measurements that the issues ask for; run them with python -m."""
