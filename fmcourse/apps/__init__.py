"""Applications of trained models.

classifier, own_data, report    a classifier for a dataset of your own
agent, tools, trace             a language model that calls tools, and what it did
toolbox, retrieval, memory      tools that ship, search, notes that outlive a session
local_model, mcp_tools          the course's models as agents; tools of other programs
"""
