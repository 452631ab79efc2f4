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

# After the opening of "Moby-Dick; or, The Whale" (Herman Melville, 1851; public domain), not collated with an edition.
NOVEL = (
    "Call me Ishmael. Some years ago—never mind how long precisely—having little or no money in my purse, and "
    "nothing particular to interest me on shore, I thought I would sail about a little and see the watery part of "
    "the world. It is a way I have of driving off the spleen and regulating the circulation. Whenever I find "
    "myself growing grim about the mouth; whenever it is a damp, drizzly November in my soul; whenever I find "
    "myself involuntarily pausing before coffin warehouses, and bringing up the rear of every funeral I meet; and "
    "especially whenever my hypos get such an upper hand of me, that it requires a strong moral principle to "
    "prevent me from deliberately stepping into the street, and methodically knocking people's hats off—then, I "
    "account it high time to get to sea as soon as I can. This is my substitute for pistol and ball. With a "
    "philosophical flourish Cato throws himself upon his sword; I quietly take to the ship. There is nothing "
    "surprising in this. If they but knew it, almost all men in their degree, some time or other, cherish very "
    "nearly the same feelings towards the ocean with me.\n\n"
    "There now is your insular city of the Manhattoes, belted round by wharves as Indian isles by coral "
    "reefs—commerce surrounds it with her surf. Right and left, the streets take you waterward. Its extreme "
    "downtown is the battery, where that noble mole is washed by waves, and cooled by breezes, which a few hours "
    "previous were out of sight of land. Look at the crowds of water-gazers there.\n\n"
    "Circumambulate the city of a dreamy Sabbath afternoon. Go from Corlears Hook to Coenties Slip, and from "
    "thence, by Whitehall, northward. What do you see?—Posted like silent sentinels all around the town, stand "
    "thousands upon thousands of mortal men fixed in ocean reveries. Some leaning against the spiles; some seated "
    "upon the pier-heads; some looking over the bulwarks of ships from China; some high aloft in the rigging, as "
    "if striving to get a still better seaward peep. But these are all landsmen; of week days pent up in lath and "
    "plaster—tied to counters, nailed to benches, clinched to desks. How then is this? Are the green fields gone? "
    "What do they here?\n\n"
    "But look! here come more crowds, pacing straight for the water, and seemingly bound for a dive. Strange! "
    "Nothing will content them but the extremest limit of the land; loitering under the shady lee of yonder "
    "warehouses will not suffice. No. They must get just as nigh the water as they possibly can without falling "
    "in. And there they stand—miles of them—leagues. Inlanders all, they come from lanes and alleys, streets and "
    "avenues—north, east, south, and west. Yet here they all unite. Tell me, does the magnetic virtue of the "
    "needles of the compasses of all those ships attract them thither?"
)
