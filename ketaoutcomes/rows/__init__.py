"""Row-level tables: for the clinic that holds the records, never to be shared."""
