"""What lfmm2 must survive, and how often it was seen to: one module per topic, each with ``run(full)``."""
