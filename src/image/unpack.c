#include "image/unpack.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/str.h"
#include "image/unpack_confine.h"
#include "image/unpack_stream.h"

#include <fcntl.h>
#include <string.h>

#define PIPE_SIZE MIB(1) /* what anyone may have: /proc/sys/fs/pipe-max-size */

struct options {
	uint64_t uid, max_bytes, memory;
};

static struct err *parse_options(int argc, char **argv, struct options *ret)
{
	struct options o = {.memory = UNPACK_MEMORY_MAX};
	const struct {
		const char *name;
		uint64_t *value, max;
	} table[] = {
		{"--uid", &o.uid, UINT32_MAX - 1},
		{"--max-bytes", &o.max_bytes, UINT64_MAX},
		{"--memory", &o.memory, UINT64_MAX},
	};

	for (int i = 1; i < argc; i += 2) {
		size_t at = 0;

		while (at < ARRAY_LEN(table) && !str_eq(argv[i], table[at].name))
			at++;
		if (at == ARRAY_LEN(table) || i + 1 == argc ||
		    !str_to_u64(argv[i + 1], table[at].max, table[at].value))
			return err_new(ERR_INVALID, "unpack: %s: unknown option or no number after it",
				       argv[i]);
	}
	*ret = o;
	return NULL;
}

static struct err *work(int argc, char **argv, struct unpack_result *ret)
{
	_unpack_pipe_ struct unpack_pipe *pipe = NULL;
	struct options o = {0};

	TRY(parse_options(argc, argv, &o));
	struct unpack_confine confine = {
		.uid = (uid_t)o.uid,
		.memory = o.memory,
		.image_max = unpack_image_max(o.max_bytes),
	};

	TRY(unpack_confine_process(&confine));
	/* Fewer turns between us and serve; without it things only take longer. */
	(void)fcntl(UNPACK_IN_FD, F_SETPIPE_SZ, PIPE_SIZE);
	TRY(unpack_pipe_new(UNPACK_IN_FD, o.max_bytes, &pipe));
	TRY(unpack_confine_calls());
	return unpack_from_pipe(pipe, UNPACK_IMAGE_FD, o.max_bytes, ret);
}

/* Whatever a name in the archive had in it, the report is one line. */
static void append_clean(struct buf *line, const char *text, bool spaces)
{
	for (; *text; text++)
		buf_putc(line, (unsigned char)*text < ' ' || *text == 0x7f ? '?'
			       : *text == ' ' && !spaces		   ? '-'
									   : *text);
}

static void format_report(const struct err *e, const struct unpack_result *r, struct buf *line)
{
	if (e) {
		buf_puts(line, "err ");
		append_clean(line, err_kind_name(err_kind(e)), false);
		buf_putc(line, ' ');
		append_clean(line, err_text(e), true);
	} else {
		buf_printf(line, "ok %s %llu %llu %llu", r->diff_id, (unsigned long long)r->image_size,
			   (unsigned long long)r->uncompressed_size, (unsigned long long)r->entries);
	}
	buf_putc(line, '\n');
}

int unpack_main(int argc, char **argv)
{
	struct unpack_result result = {0};
	_err_ struct err *e = work(argc, argv, &result);
	_buf_ struct buf line = {0};

	format_report(e, &result, &line);
	_err_ struct err *unheard = file_write_fd(UNPACK_REPORT_FD, line.data, line.len);

	return e || unheard ? 1 : 0;
}

/* ---- the other side ---- */

static enum err_kind kind_of_word(const char *word, size_t n)
{
	for (int kind = ERR_INTERNAL; kind <= ERR_UNIMPLEMENTED; kind++) {
		const char *name = err_kind_name((enum err_kind)kind);
		size_t i = 0;

		while (i < n && name[i] && (word[i] == name[i] || (word[i] == '-' && name[i] == ' ')))
			i++;
		if (i == n && !name[n])
			return (enum err_kind)kind;
	}
	return ERR_CORRUPT;
}

static bool parse_ok(const char *line, struct unpack_result *ret)
{
	struct unpack_result r = {0};
	uint64_t *const numbers[] = {&r.image_size, &r.uncompressed_size, &r.entries};
	char copy[DIGEST_TEXT_LEN + 80], *rest = copy;

	if (!str_starts(line, "ok ") || strlen(line) >= sizeof(copy))
		return false;
	strcpy(copy, line + 3);
	const char *digest = strsep(&rest, " ");

	if (!digest_ok(digest))
		return false;
	memcpy(r.diff_id, digest, DIGEST_TEXT_LEN);
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		if (!str_to_u64(strsep(&rest, " "), UINT64_MAX, numbers[i]))
			return false;
	}
	if (rest)
		return false;
	*ret = r;
	return true;
}

struct err *unpack_parse_report(const char *line, struct unpack_result *ret)
{
	if (parse_ok(line, ret))
		return NULL;
	if (str_starts(line, "err ")) {
		const char *kind = line + 4, *text = strchr(kind, ' ');

		if (text && text[1])
			return err_new(kind_of_word(kind, (size_t)(text - kind)), "%s", text + 1);
	}
	return err_new(ERR_CORRUPT, "unpack's report makes no sense: %.100s", line);
}
