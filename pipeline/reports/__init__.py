"""The pages of a night, an audit and the tasks, rendered to one HTML file each."""
