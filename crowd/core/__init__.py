"""The ground floor: database, queue, HTTP, storage, clock. It knows no domain."""
