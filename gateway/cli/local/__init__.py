"""Commands for a platform that runs from this folder: `up`, `down`, `status` and `doctor`."""
