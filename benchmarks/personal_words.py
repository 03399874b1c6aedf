"""What the generated letters, tickets and forms are made of: names from many places, sentences, and things that only
look like personal data.

In braces: kinds of personal data ({PERSON}, {EMAIL}, …) whose spans count, and look-alikes (lower case) whose do not.
"""

_FIRST = """
Amara Priya Wei Yuki Fatima Omar Ingrid Lars Sofia Mateo Aisha Kwame Chloe Liam Noah Olivia Emma Ava Mia Lucas Ethan
Hannah Greta Klaus Dieter Ursula Jürgen Anneliese Pierre Amélie Céline Thierry Giulia Marco Alessandra Paolo Carmen
Javier Lucía Diego João Beatriz Rafael Inês Piotr Agnieszka Katarzyna Tomasz Jana Petr Zuzana Milos Dragana Ivan Olga
Dmitri Natasha Svetlana Yusuf Leyla Emre Zeynep Reza Shirin Farid Nasrin Arjun Deepika Rohan Ananya Sanjay Lakshmi Ravi
Meera Hiroshi Keiko Takeshi Sakura Jin Minh Linh Thuy Siti Putu Made Ngozi Chinedu Adaeze Tendai Thandiwe Sipho Abebe
Selam Ruth Samuel Grace Daniel Rachel Benjamin Esther Nathan Miriam Patrick Siobhan Declan Aoife Gareth Rhys Callum
Fiona Brandon Tyler Megan Ashley Jennifer Michael Robert Linda Susan Karen Steven Brian
"""
_LAST = """
Okafor Raman Chen Tanaka Haddad Rahman Lindqvist Johansson Rossi Fernandez Mensah Dubois Walker Hughes Bennett Carter
Schneider Hoffmann Krüger Weissmann Lefèvre Moreau Girard Bianchi Esposito Ricci Navarro Ortega Vázquez Almeida Carvalho
Teixeira Kowalski Nowak Wiśniewski Novák Svoboda Horvat Petrović Ivanov Smirnov Kuznetsov Yılmaz Demir Kaya Hosseini
Karimi Sharma Patel Iyer Gupta Banerjee Reddy Nakamura Suzuki Watanabe Nguyen Tran Pham Wijaya Santoso Adeyemi Eze Moyo
Dlamini Nkosi Tesfaye Bekele Goldberg Rosenfeld Friedman O'Brien O'Connor Murphy Kelly Davies Morgan Campbell MacLeod
Thompson Anderson Robinson Mitchell Peterson Sullivan Ramirez Castillo Delgado Herrera Jensen Nielsen Virtanen Korhonen
"""
FIRST_NAMES = tuple(_FIRST.split())
LAST_NAMES = tuple(_LAST.split())

SENTENCES = (
    "{PERSON} wrote on Monday that the parcel {order} had not arrived.",
    "Please reply to {EMAIL} before {date}.",
    "I spoke with {PERSON} from the {team} team about the delay in {city}.",
    "The refund goes to {IBAN}, as {PERSON} asked.",
    "You can reach {PERSON} at {PHONE} after lunch.",
    "Call {PHONE} if the gate in {city} is closed.",
    "Her number is {PHONE}; she prefers a text.",
    "The login came from {IP} at {time}.",
    "Blocked {IP} after {amount} failed attempts.",
    "The card {CREDIT_CARD} was charged {amount} euros twice.",
    "On file is the social security number {SSN}.",
    "{PERSON} and {PERSON} will present release {version} to {company}.",
    "According to {PERSON}, the contract with {company} ends in {month}.",
    "Nobody but {PERSON} has the key to room {room}.",
    "We thank {PERSON} for the report on the {product}.",
    "{PERSON}'s badge stopped working on {date}.",
    "The invoice was approved by {PERSON} and paid from {IBAN}.",
    "Forward it to {EMAIL} and {EMAIL}, please.",
    "When {PERSON} moved to {city}, the old address was deleted.",
    "Ask {PERSON} whether {company} still uses the {product}.",
    "Her manager, {PERSON}, signed the form on {date}.",
    "The witness {PERSON} confirmed the time, {time}.",
    "{company} promised delivery of the {product} in {month}.",
    "Version {version} of the {product} fixes ticket {ticket}.",
    "The {team} team meets in {city} every second {day}.",
    "Order {order} costs {amount} euros and weighs {weight} kg.",
    "The manual, ISBN {isbn}, has {amount} pages.",
    "Build {hash} was rolled out to {city} at {time}.",
    "See section {section} of the {product} handbook.",
    "The opening hours change on {date}, {company} says.",
    "Between {month} and {month} the office in {city} stays closed.",
)
"""One in three has nothing personal in it."""

FORMATS = {
    "letter": ("{city}, {date}\n\nDear {PERSON},\n\n{s} {s} {s}\n\n{s} {s}\n\nKind regards,\n{PERSON}\n{company}\n"),
    "mail": (
        "From: {PERSON} <{EMAIL}>\nTo: {PERSON} <{EMAIL}>\nSubject: Ticket {ticket}\n\nHi {FIRST},\n\n"
        "{s} {s} {s}\n\nBest,\n{FIRST}\n\n{PERSON} | {company} | {PHONE}\n"
    ),
    "ticket": (
        "# Ticket {ticket}\n\n"
        "Reported by: {PERSON}\nContact: {EMAIL}, {PHONE}\nProduct: {product} {version}\n\n{s} {s}\n\n"
        "## Answer\n\n{s} {s}\n"
    ),
    "chat": ("[{time}] {PERSON}: {s}\n\n[{time}] {PERSON}: {s} {s}\n\n[{time}] support: {s}\n"),
    "form": (
        "Name: {PERSON}\n\nPhone: {PHONE}\n\nE-mail: {EMAIL}\n\nIBAN: {IBAN}\n\nSSN: {SSN}\n\n"
        "Card number: {CREDIT_CARD}\n\nDepartment: {team}\n\nNotes: {s} {s}\n"
    ),
    "table": (
        "| name | e-mail | phone | city |\n|---|---|---|---|\n| {PERSON} | {EMAIL} | {PHONE} | {city} |\n"
        "| {PERSON} | {EMAIL} | {PHONE} | {city} |\n| {PERSON} | {EMAIL} | {PHONE} | {city} |\n\n"
        "{s} {s}\n"
    ),
    "log": (
        "{date} {time} INFO login user={EMAIL} ip={IP} build={hash}\n\n"
        "{date} {time} WARN retry order={order} ip={IP}\n\n{date} {time} INFO {s}\n\n{s}\n"
    ),
    "minutes": (
        "# Minutes of {date}\n\nPresent: {PERSON}, {PERSON}, {PERSON}\n\n- {s}\n- {s}\n- {s}\n\n"
        "Next meeting: {day}, {city}.\n"
    ),
    "invoice": (
        "# Invoice {order}\n\nTo {PERSON}, {company}, {city}\n\nAmount: {amount} euros, due {date}.\n\n"
        "Pay to {IBAN} or by card {CREDIT_CARD}.\n\nQuestions: {PHONE}, {EMAIL}\n\n{s}\n"
    ),
    "article": ("# {product} in {city}\n\n{s} {s} {s} {s}\n\n## Background\n\n{s} {s} {s} {s}\n"),
}

CITIES = ("Berlin", "Lyon", "Porto", "Leeds", "Austin", "Nairobi", "Osaka", "Gdansk", "Toronto", "Sydney", "Madrid")
COMPANIES = (
    "Northwind Logistics", "Aurora Systems", "Helios Energy", "Blue Harbor Bank", "Quantum Foods", "Cedar & Pine Ltd",
    "Vertex Robotics GmbH", "Silverline Airways", "Orchid Health", "Granite Insurance Inc",
)  # fmt: skip
PRODUCTS = (
    "Falcon Gateway", "Billing Portal", "Orion Scanner", "Atlas Archive", "Pegasus Mailer", "Titan Press",
    "Comet Router", "Harbor Console", "Maple Scheduler", "Zephyr Pump",
)  # fmt: skip
TEAMS = ("Support", "Platform", "Finance", "Human Resources", "Legal", "Operations", "Facilities", "Security")
MONTHS = ("January", "March", "April", "June", "July", "September", "October", "December")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
DOMAINS = ("example.com", "mail.example", "corp.internal", "web.de", "example.co.uk", "team.example.org", "x-ray.io")
