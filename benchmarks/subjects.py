"""What the generated company writes about: sections with facts in them, and the question each fact answers.

In braces: {name} is the document's subject; the others are drawn per section, see `benchmarks.corpus`. `fact` is what a
right answer has to contain.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Topic:
    """One section of a document: about 45 tokens with its heading."""

    heading: str
    text: str
    question: str
    fact: str


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of document and its sections."""

    word: str
    topics: tuple[Topic, ...]


SERVICE = Kind(
    "service",
    (
        Topic(
            "Backups",
            "Backups of {name} start every night at {time} and are kept for {n} days. The {team} team tests a restore "
            "on the first {day} of each quarter.",
            "For how many days are backups of {name} kept?",
            "{n} days",
        ),
        Topic(
            "On call",
            "The {team} team is on call for {name}. A page that nobody acknowledges goes to the second engineer after "
            "{n} minutes, and to the head of operations an hour later.",
            "After how many minutes does an unacknowledged page for {name} go to the second engineer?",
            "{n} minutes",
        ),
        Topic(
            "Deployments",
            "{name} is deployed on {day} at {time}. Between the freeze in December and the second week of January only "
            "corrections approved by the {team} team go out.",
            "On which day is {name} deployed?",
            "{day}",
        ),
        Topic(
            "Request limits",
            "A client of {name} may send {n} requests per second. Beyond that the gateway answers with an error and "
            "asks to retry; larger allowances are granted by the {team} team.",
            "How many requests per second may a client of {name} send?",
            "{n} requests",
        ),
        Topic(
            "Data location",
            "All records of {name} are stored in the data centre in {city}. A second copy, {m} minutes behind at most, "
            "lies with a partner in {city2}.",
            "In which city are the records of {name} stored?",
            "{city}",
        ),
        Topic(
            "Access",
            "Access to {name} is requested from the {team} team and granted within {n} working days. It ends by itself "
            "after {m} months unless it is renewed.",
            "Within how many working days is access to {name} granted?",
            "{n} working days",
        ),
        Topic(
            "Costs",
            "Running {name} costs {k} euros a month, most of it storage. The budget is reviewed every {month} together "
            "with the {team} team.",
            "How much does running {name} cost a month?",
            "{k} euros",
        ),
        Topic(
            "Retirement",
            "{name} will be switched off in {month} {year}. Until then only security corrections are made, and new "
            "integrations are refused by the {team} team.",
            "When will {name} be switched off?",
            "{month} {year}",
        ),
        Topic(
            "Monitoring",
            "{name} raises an alarm when its queue holds more than {k} messages. The alarm rings in the room of the "
            "{team} team and clears itself after {m} quiet minutes.",
            "How many messages must the queue of {name} hold before an alarm is raised?",
            "{k} messages",
        ),
        Topic(
            "Certificates",
            "The certificates of {name} are renewed every {n} days by a nightly job. Where it fails twice, the {team} "
            "team renews them by hand before {day} noon.",
            "How often are the certificates of {name} renewed?",
            "{n} days",
        ),
    ),
)

SITE = Kind(
    "site",
    (
        Topic(
            "Opening hours",
            "The site {name} in {city} opens at {time} on working days. On {day} the gate closes two hours early for "
            "the weekly stocktaking.",
            "When does the site {name} open on working days?",
            "{time}",
        ),
        Topic(
            "Parking",
            "{name} has {n} parking spaces for visitors, {m} of them with a charging point. A space is booked at the "
            "reception until noon of the day before.",
            "How many parking spaces for visitors does {name} have?",
            "{n} parking spaces",
        ),
        Topic(
            "Deliveries",
            "Deliveries to {name} are taken at ramp {m} until {time}. Lorries over {n} tonnes need a slot that the "
            "{team} team hands out.",
            "Until what time are deliveries taken at {name}?",
            "{time}",
        ),
        Topic(
            "Evacuation",
            "After an alarm everybody leaves {name} and meets at point {m} behind the canteen. A drill takes place "
            "every {month} and is led by the {team} team.",
            "In which month does the evacuation drill at {name} take place?",
            "{month}",
        ),
        Topic(
            "Canteen",
            "The canteen of {name} serves {n} warm meals a day. Vegetarian dishes are offered daily, fish on {day}; "
            "guests pay with a card from the reception.",
            "How many warm meals a day does the canteen of {name} serve?",
            "{n} warm meals",
        ),
        Topic(
            "Visitors",
            "Visitors of {name} are announced {n} hours ahead by the host. They wear a badge, stay with the host and "
            "leave the site before {time}.",
            "How many hours ahead are visitors of {name} announced?",
            "{n} hours",
        ),
        Topic(
            "Lease",
            "The lease of {name} runs until {month} {year} and costs {k} euros a month. It may be extended twice, each "
            "time by {m} years.",
            "Until when does the lease of {name} run?",
            "{month} {year}",
        ),
        Topic(
            "Heating",
            "The heating plant of {name} was built by a firm from {city2} and holds {k} litres of water. The {team} "
            "team inspects it every {month}.",
            "How many litres of water does the heating plant of {name} hold?",
            "{k} litres",
        ),
        Topic(
            "Waste",
            "Paper and metal are collected from {name} every {day}. Chemicals wait in cabinet {m} until the {team} "
            "team has signed for them.",
            "On which day are paper and metal collected from {name}?",
            "{day}",
        ),
        Topic(
            "Keys",
            "A lost key of {name} is reported to the {team} team within {n} hours. A new cylinder costs {k} euros and "
            "is charged to the department.",
            "Within how many hours must a lost key of {name} be reported?",
            "{n} hours",
        ),
    ),
)

PRODUCT = Kind(
    "product",
    (
        Topic(
            "Warranty",
            "{name} comes with a warranty of {n} months from the day of delivery. Claims go to the {team} team and "
            "need the serial number and a photograph.",
            "How long is the warranty of {name}?",
            "{n} months",
        ),
        Topic(
            "Price",
            "The list price of {name} is {k} euros without tax. Orders of more than {m} pieces are quoted by the "
            "{team} team within two days.",
            "What is the list price of {name}?",
            "{k} euros",
        ),
        Topic(
            "Power",
            "{name} draws {k} watts at full load and {m} watts when idle. It needs a fuse of its own and a socket that "
            "was tested in the last year.",
            "How many watts does {name} draw at full load?",
            "{k} watts",
        ),
        Topic(
            "Weight",
            "Packed for transport {name} weighs {n} kilograms. Two people lift it; a pallet from {city} takes {m} "
            "pieces, strapped and upright.",
            "How much does {name} weigh when packed for transport?",
            "{n} kilograms",
        ),
        Topic(
            "Maintenance",
            "{name} is serviced every {n} months by a certified technician. The filter is changed earlier, after {k} "
            "hours, and costs little.",
            "How often is {name} serviced?",
            "{n} months",
        ),
        Topic(
            "Returns",
            "An unopened {name} is taken back within {n} days. The buyer pays the way to {city}; after that the {team} "
            "team refunds the price in full.",
            "Within how many days is an unopened {name} taken back?",
            "{n} days",
        ),
        Topic(
            "Delivery",
            "{name} leaves the warehouse in {city} every {day}. Customers abroad wait {n} working days, and longer "
            "when customs open the parcel.",
            "From the warehouse in which city does {name} leave?",
            "{city}",
        ),
        Topic(
            "Noise",
            "Measured at three metres {name} reaches {n} decibels. With the cover of the {year} model it stays below "
            "{m} decibels in the night mode.",
            "How many decibels does {name} reach at three metres?",
            "{n} decibels",
        ),
        Topic(
            "Certification",
            "{name} was certified in {city2} in {month} {year}. The certificate is renewed by the {team} team and "
            "hangs beside the type plate.",
            "When was {name} certified?",
            "{month} {year}",
        ),
        Topic(
            "Spare parts",
            "Spare parts of {name} are kept for {n} years after the last sale. The {team} team ships them from {city} "
            "on the day of the order.",
            "For how many years are spare parts of {name} kept?",
            "{n} years",
        ),
    ),
)

KINDS = (SERVICE, SITE, PRODUCT)


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


TEAMS = _words(
    "platform storage network billing identity logistics quality support security analytics procurement "
    "facilities payments research mobile integration release compliance"
)
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
MONTHS = _words("January February March April May June July August September October November December")
CITIES = _words(
    "Aarhus Bergen Bilbao Bologna Brno Bruges Cork Dresden Eindhoven Galway Ghent Graz Gdansk Innsbruck Kaunas "
    "Leipzig Linz Ljubljana Lyon Malmo Nantes Odense Oulu Porto Riga Salzburg Tampere Tartu Trieste Turku Utrecht "
    "Vigo"
)
FIRST_WORDS = _words(
    "Amber Arctic Ashen Autumn Azure Brass Bright Bronze Calm Cedar Chalk Clear Cobalt Copper Coral Crimson Dawn "
    "Desert Distant Dusky Early Ebony Elder Emerald Evening Faded Fallow Fern Flint Frosty Gentle Gilded Golden "
    "Granite Hazel Hidden Hollow Indigo Iron Ivory Jade Lofty Lunar Maple Marble Misty Mossy Noble Northern Ochre "
    "Olive Pearl Quiet Rapid Rocky Ruby Rustic Saffron Scarlet Silent Silver Solar Velvet Winter"
)
SECOND_WORDS = _words(
    "Badger Beacon Bison Bridge Canyon Caribou Castle Cedarwing Comet Condor Cormorant Crane Cypress Dolphin "
    "Eagle Falcon Ferry Finch Fjord Fountain Fox Gannet Glacier Grouse Harbor Harrier Heron Ibex Island Jackal "
    "Kestrel Lagoon Lantern Lark Lighthouse Lynx Magpie Marten Meadow Merlin Mill Moose Nightjar Oriole Osprey "
    "Otter Owl Panther Pelican Petrel Plover Puffin Quarry Raven Reef Sable Salmon Sparrow Stork Summit Swift "
    "Thistle Tower Walrus"
)
