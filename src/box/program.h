/* program.h: what a file that the kernel would not execute says of itself: for the words of the error.
 *
 * Read by the container's own process, in the container, with its rights: what is damaged there harms nobody else.
 */
#ifndef CRISP_PROGRAM_H
#define CRISP_PROGRAM_H

#include <stddef.h>

#define PROGRAM_HEAD_MAX 4096   /* bytes of the file that are looked at */
#define PROGRAM_NAME_MAX 256

struct program {
	const char *machine;                    /* of an ELF file: "aarch64", "an unknown machine"; NULL: it is none */
	char interpreter[PROGRAM_NAME_MAX];     /* after #!, or PT_INTERP; "": none is named */
};

/* The first *n* bytes of a file (elf(5); execve(2), "Interpreter scripts"). */
void program_parse(const void *head, size_t n, struct program *ret);

/* The same of *path*; nothing is known where it cannot be read. */
void program_read(const char *path, struct program *ret);

#endif
