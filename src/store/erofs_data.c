/* Regular files of an image: erofs_file_begin(), _data(), _end().
 *
 * A plain file's whole blocks go to the stream, one after another; its tail waits for the inode and
 * is put behind it where both fit into a block. Measured on 35,000 mostly small files, 287 MB: an image of
 * 294 MB against 382 without; reading all of them touches 51,000 pages of it against 84,000, a walk that only
 * calls stat(2) 21,000 against 1,100. Containers read what they stat, and flash wears. A sparse file is made of chunks: one that no extent
 * touches is a hole, of one that an extent touches all is written. */
#include "store/erofs_writer.h"

#include <string.h>
#include <sys/stat.h>

static uint64_t chunk_size(const struct erofs_file *f)
{
	return (uint64_t)EROFS_BLOCK << f->chunk_bits;
}

static struct err *check_extents(const struct erofs_extent *extents, size_t n, uint64_t size,
				 uint64_t *ret_sum)
{
	uint64_t end = 0, sum = 0;

	for (size_t i = 0; i < n; i++) {
		if (extents[i].offset < end || extents[i].offset > size ||
		    extents[i].size > size - extents[i].offset)
			return err_new(ERR_INVALID, "a sparse file's map is out of order or passes its size");
		end = extents[i].offset + extents[i].size;
		sum += extents[i].size;
	}
	*ret_sum = sum;
	return NULL;
}

/* Empty extents, with which GNU tar marks the end, are left out. */
static void copy_extents(struct erofs_file *f, const struct erofs_extent *extents, size_t n)
{
	f->extents = base_calloc(n, sizeof(*f->extents));
	f->n_extents = 0;
	for (size_t i = 0; i < n; i++) {
		if (extents[i].size)
			f->extents[f->n_extents++] = extents[i];
	}
}

static void begin_sparse(struct erofs_file *f, const struct erofs_extent *extents, size_t n)
{
	copy_extents(f, extents, n);
	f->chunk_bits = 0;
	while ((f->inode.size + chunk_size(f) - 1) / chunk_size(f) > EROFS_CHUNKS_MAX)
		f->chunk_bits++;
	f->n_chunks = (f->inode.size + chunk_size(f) - 1) / chunk_size(f);
	f->chunks = base_calloc(f->n_chunks, sizeof(*f->chunks));
	memset(f->chunks, 0xff, f->n_chunks * sizeof(*f->chunks)); /* EROFS_HOLE */
	f->inode.layout = EROFS_CHUNK_BASED;
	f->inode.u = f->chunk_bits;
	f->position = 0;
	f->extent = 0;
	f->in_extent = 0;
}

struct err *erofs_file_begin(struct erofs_writer *w, const char *path, const struct erofs_attr *attr,
			     uint64_t size, const struct erofs_extent *extents, size_t n_extents)
{
	struct erofs_file *f = &w->file;
	bool opaque, sparse = extents && size > 0;

	TRY(erofs_writer_attr(w, attr, S_IFREG, &f->inode, &opaque));
	if (size > EROFS_FILE_MAX)
		return err_new(ERR_EXHAUSTED, "a file larger than 16 TiB");
	TRY(erofs_tree_locate(&w->tree, path, EROFS_MAKE, &f->dir, f->name));
	if (!*f->name)
		return err_new(ERR_INVALID, "the root can only be a directory");
	f->inode.size = size;
	f->expected = size;
	if (extents)
		TRY(check_extents(extents, n_extents, size, &f->expected));
	f->given = 0;
	f->to_stream = size & ~(uint64_t)(EROFS_BLOCK - 1);
	if (sparse)
		begin_sparse(f, extents, n_extents);
	else if (f->to_stream)
		f->inode.u = erofs_out_block(&w->out);
	f->open = true;
	return NULL;
}

static struct err *plain_data(struct erofs_writer *w, const unsigned char *p, size_t n)
{
	struct erofs_file *f = &w->file;

	if (f->given < f->to_stream) {
		size_t part = MIN((uint64_t)n, f->to_stream - f->given);

		TRY(erofs_out_write(&w->out, p, part));
		f->given += part;
		p += part;
		n -= part;
	}
	if (n > 0)
		memcpy(f->tail + (f->given - f->to_stream), p, n);
	f->given += n;
	return NULL;
}

/* Zeros from where the file is written to up to *to*, as far as it lies in a chunk that is there. */
static struct err *fill_to(struct erofs_writer *w, uint64_t to)
{
	struct erofs_file *f = &w->file;
	uint64_t chunk_end = (f->position + chunk_size(f) - 1) & ~(chunk_size(f) - 1);
	uint64_t end = MIN(to, chunk_end);

	/* The last chunk reaches no further than the file's last block. */
	end = MIN(end, (f->inode.size + EROFS_BLOCK - 1) & ~(uint64_t)(EROFS_BLOCK - 1));
	if (end > f->position) {
		TRY(erofs_out_zeros(&w->out, end - f->position));
		f->position = end;
	}
	return NULL;
}

/* *n* bytes at *offset*, which no chunk's end divides. */
static struct err *chunk_data(struct erofs_writer *w, uint64_t offset, const unsigned char *p, size_t n)
{
	struct erofs_file *f = &w->file;
	uint64_t index = offset / chunk_size(f);

	if (f->chunks[index] == EROFS_HOLE) {
		TRY(fill_to(w, offset));
		f->chunks[index] = erofs_out_block(&w->out);
		f->position = index * chunk_size(f);
	}
	if (offset > f->position)
		TRY(erofs_out_zeros(&w->out, offset - f->position));
	f->position = offset + n;
	return erofs_out_write(&w->out, p, n);
}

static struct err *sparse_data(struct erofs_writer *w, const unsigned char *p, size_t n)
{
	struct erofs_file *f = &w->file;

	while (n > 0) {
		const struct erofs_extent *e = &f->extents[f->extent];
		uint64_t offset = e->offset + f->in_extent;
		uint64_t part = MIN((uint64_t)n, e->size - f->in_extent);

		part = MIN(part, chunk_size(f) - offset % chunk_size(f));
		TRY(chunk_data(w, offset, p, part));
		p += part;
		n -= part;
		f->given += part;
		f->in_extent += part;
		if (f->in_extent == e->size) {
			f->extent++;
			f->in_extent = 0;
		}
	}
	return NULL;
}

struct err *erofs_file_data(struct erofs_writer *w, const void *p, size_t n)
{
	struct erofs_file *f = &w->file;

	if (!f->open || n > f->expected - f->given)
		return err_new(ERR_INTERNAL, "more data than the file has");
	return f->chunks ? sparse_data(w, p, n) : plain_data(w, p, n);
}

static struct err *end_sparse(struct erofs_writer *w, struct erofs_node *node)
{
	struct erofs_file *f = &w->file;

	TRY(fill_to(w, UINT64_MAX));
	TRY(erofs_out_align(&w->out));
	w->chunked = true;
	TRY(erofs_writer_place(w, &f->inode, f->chunks, f->n_chunks * sizeof(*f->chunks), node));
	free(TAKE(f->chunks));
	free(TAKE(f->extents));
	return NULL;
}

static struct err *end_plain(struct erofs_writer *w, struct erofs_node *node)
{
	struct erofs_file *f = &w->file;
	size_t tail = f->inode.size - f->to_stream;

	f->inode.layout = EROFS_FLAT_INLINE;
	if (tail &&
	    erofs_inode_size(&f->inode, erofs_inode_is_compact(&f->inode, &w->epoch)) + tail <= EROFS_BLOCK)
		return erofs_writer_place(w, &f->inode, f->tail, tail, node);
	f->inode.layout = EROFS_FLAT_PLAIN;
	if (tail) {
		if (!f->to_stream)
			f->inode.u = erofs_out_block(&w->out);
		TRY(erofs_out_write(&w->out, f->tail, tail));
		TRY(erofs_out_align(&w->out));
	}
	return erofs_writer_place(w, &f->inode, NULL, 0, node);
}

struct err *erofs_file_end(struct erofs_writer *w)
{
	struct erofs_file *f = &w->file;
	struct erofs_node *node = NULL;

	if (!f->open || f->given != f->expected)
		return err_new(ERR_INTERNAL, "less data than the file has");
	TRY(erofs_tree_alloc(&w->tree, sizeof(*node), (void **)&node));
	node->type = EROFS_FT_REG;
	if (f->chunks)
		TRY(end_sparse(w, node));
	else
		TRY(end_plain(w, node));
	f->open = false;
	return erofs_writer_name(w, f->dir, f->name, node);
}
