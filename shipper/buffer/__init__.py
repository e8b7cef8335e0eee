"""The buffer: chunk files and state.db, and the contract between them (see `buffer.state`)."""
