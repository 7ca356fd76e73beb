/* table.h: rows in columns, as crictl aligns them: at least 20 wide, three spaces between, the last one ragged. */
#ifndef CRISP_TABLE_H
#define CRISP_TABLE_H

#include "base/buf.h"

#define TABLE_COLUMNS_MAX 16

struct table {
	size_t n_columns;
	char **cells;           /* owned, row by row, escaped */
	size_t n_cells, room;
};

void table_done(struct table *t);
#define _table_ _cleanup_(table_done)

/* Titles: a NULL-terminated list, which also says how many columns there are. */
void table_init(struct table *t, const char *const *titles);
/* The next cell; the text is escaped. Rows are full when they have all their cells. */
void table_cell(struct table *t, const char *text);
void table_cellf(struct table *t, const char *fmt, ...) _printf_(2, 3);
void table_write(const struct table *t, struct buf *ret);

#endif
