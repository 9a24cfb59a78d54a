"""Requests made from the OpenAPI documents, at running programs: do they keep to what their documents say?"""
