"""Finds where log, index, vector graph and word index differ (design §5); the tenant's writer repairs."""
