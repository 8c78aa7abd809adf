"""From a prompt of blocks to tokens: exact spans, chat templates, and text that can forge nothing."""
