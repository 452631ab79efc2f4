"""Deciders that tests share."""

from jaxdiff.schema.scaffold.decider import Asked


class Fixed:
    """Prefers the options told by property name or last part of the path, else the last or the first option."""

    def __init__(self, default="last", **wanted):
        self.default, self.wanted, self.questions = default, wanted, []

    def scores(self, question):
        self.questions.append(question)
        key = question.name if question.asked is Asked.PRESENCE else question.path.rsplit("/", 1)[-1]
        if self.wanted.get(key) in question.options and key in self.wanted:
            return [float(option == self.wanted[key]) for option in question.options]
        return [float(i if self.default == "last" else -i) for i in range(len(question.options))]


class Constant:
    """The same score for everything."""

    def __init__(self, score=0.0):
        self.score = score

    def scores(self, question):
        return [self.score] * len(question.options)
