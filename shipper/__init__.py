"""shipper: a node-level log agent: follows log files, bulk-indexes them into Elasticsearch."""

__version__ = "0.1.0"
