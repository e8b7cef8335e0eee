"""The reading side: finds log files, follows each series, hands blocks to the chain.

Knows nothing of Elasticsearch: what blocks became goes into the spool.
"""
