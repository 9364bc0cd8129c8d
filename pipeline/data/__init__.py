"""What people curate, and the shapes that it takes on the way: prompts, agents, outcomes, prices, reviews, fates."""
