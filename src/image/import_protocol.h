/* import_protocol.h: what `crisp import` and serve say to each other (wire/message.h) on STATE/import.sock, which is root's: one
 * archive a connection. The archive comes as a descriptor: serve needs no name for it, and sees the very file. */
#ifndef CRISP_IMPORT_PROTOCOL_H
#define CRISP_IMPORT_PROTOCOL_H

#include "wire/message.h"

#define IMPORT_SOCKET_NAME "import.sock"        /* beside CRI's */

enum import_message {
	IMPORT_ASK = 1,         /* descriptor: a regular file or a layout's directory; NAME, PICK: as bake's */
	IMPORT_IMAGE,           /* one that is there now: ID, and NAME for each of its names */
	IMPORT_DONE,            /* the error's fields, or none */
};

enum import_tag {
	IMPORT_TAG_PATH = MESSAGE_TAG_FIRST,    /* for the log */
	IMPORT_TAG_NAME,
	IMPORT_TAG_PICK,
	IMPORT_TAG_ID,
};

#endif
