"""Pictures of the experiments; each takes the labelled data of one sweep."""
