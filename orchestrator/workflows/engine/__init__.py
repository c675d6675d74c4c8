"""The engine of a worker: claims steps that are ready, calls their agents and reports the outcomes."""
