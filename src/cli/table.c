#include "cli/table.h"

#include "cli/human.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define COLUMN_MIN 20
#define COLUMN_GAP 3

void table_init(struct table *t, const char *const *titles)
{
	*t = (struct table){ 0 };
	while (titles[t->n_columns])
		t->n_columns++;
	for (size_t i = 0; i < t->n_columns; i++)
		table_cell(t, titles[i]);
}

void table_done(struct table *t)
{
	for (size_t i = 0; i < t->n_cells; i++)
		free(t->cells[i]);
	free(t->cells);
	*t = (struct table){ 0 };
}

void table_cell(struct table *t, const char *text)
{
	struct buf b = BUF_INIT;

	if (t->n_cells == t->room) {
		t->room = MAX(t->room * 2, (size_t)64);
		t->cells = base_realloc(t->cells, t->room, sizeof(*t->cells));
	}
	human_escape(text, strlen(text), &b);
	t->cells[t->n_cells++] = buf_take(&b);
}

void table_cellf(struct table *t, const char *fmt, ...)
{
	_free_ char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	table_cell(t, text ? text : "");
}

void table_write(const struct table *t, struct buf *ret)
{
	size_t widths[TABLE_COLUMNS_MAX] = { 0 };

	for (size_t i = 0; i < t->n_cells; i++) {
		size_t *w = &widths[i % t->n_columns];

		*w = MAX(*w, MAX(human_width(t->cells[i]) + COLUMN_GAP, (size_t)COLUMN_MIN));
	}
	for (size_t i = 0; i < t->n_cells; i++) {
		bool last = (i + 1) % t->n_columns == 0;
		size_t pad = widths[i % t->n_columns] - human_width(t->cells[i]);

		buf_puts(ret, t->cells[i]);
		if (last)
			buf_putc(ret, '\n');
		else
			buf_printf(ret, "%*s", (int)pad, "");
	}
}
