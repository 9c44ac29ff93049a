"""The shapes of the API's answers, as types: the document of the API is made from them.

Values that the API gives as they are (an alert, a delivery, an operation, …) are their own shapes.
"""
