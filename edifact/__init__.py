"""UN/EDIFACT: reads, checks and acknowledges any UN message by the UN's own tables."""
