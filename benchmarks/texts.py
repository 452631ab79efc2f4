"""Fixed texts that the benchmarks read."""

PASSAGE = (
    "The lighthouse at the end of the northern pier was built in 1887, after two winters in which eleven "
    "fishing boats were lost within sight of the harbour. It is thirty-one metres high, and its lamp, first "
    "fed with paraffin and since 1934 with electricity, can be seen from twenty nautical miles away on a clear "
    "night. The last keeper, Marta Oliveira, left in 1976; she had wound the clockwork that turned the lens "
    'every four hours, day and night, for almost nineteen years. "People think that it was lonely," she told '
    "the town's newspaper when she was eighty, \"but I knew every ship by its lights, and every captain by the "
    'way in which he answered mine." Today the tower belongs to the city, which opens it on the first Sunday '
    "of each month. Tickets cost 4.50 euros (children under 12 pay nothing), and the climb of 158 steps is "
    "rewarded with a view over the whole bay: the salt pans to the east, the old cannery with its brick "
    "chimney, and, if the wind has swept the haze away, the blue outline of the islands."
)

PROMPTS = (
    "The largest planet of the solar system is",
    "In the beginning of the twentieth century, trains",
    "def is_prime(n):\n    ",
    "2, 4, 8, 16, 32,",
    "To make a simple tomato soup, you need",
    "Q: What is the chemical symbol of gold?\nA:",
    '{"name": "book_table", "arguments": {"people": 4, "time": "',
    "La capitale de la France est",
    "Dear Sir or Madam,\n\nI am writing to",
    "<h1>Opening hours</h1>\n<p>",
)
