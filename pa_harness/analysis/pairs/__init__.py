"""Two evaluations held against each other, document by document."""
