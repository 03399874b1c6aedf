-- Service bulletins of Aurora's workshop, as rows of a table that Millstream captures (source `bulletins`).
-- Run again, it brings every row back to what is written here.
CREATE TABLE IF NOT EXISTS public.bulletins (
    id text PRIMARY KEY,
    title text NOT NULL,
    body text NOT NULL,
    product text,
    readers text[],
    updated_at timestamptz NOT NULL DEFAULT now()
);

INSERT INTO public.bulletins (id, title, body, product, readers) VALUES
(
    'B-101',
    'Loan tool case T-7',
    'The loan tool case T-7 may be kept for 24 days. It holds a vacuum pump, a leak detector for R290 and a torque wrench, and goes back to the counter in Rostock.',
    'tools',
    '{public}'
),
(
    'B-102',
    'Recall of circulation pump CP-7',
    'Circulation pumps CP-7 with serial numbers 4100 to 4980 are recalled, because their seal may leak. Partners replace them free of charge and return the old pump to Rostock.',
    'polar',
    '{sales,support}'
),
(
    'B-103',
    'Torque of the wall bracket',
    'The four bolts of the wall bracket are tightened with 38 newton metres, crosswise, and checked again after one heating season.',
    'polar',
    '{public}'
)
ON CONFLICT (id) DO UPDATE SET
    title = excluded.title,
    body = excluded.body,
    product = excluded.product,
    readers = excluded.readers,
    updated_at = now();
