/* fetch_protocol.h: what serve and the role `fetch` say to each other (wire/message.h), descriptor 3 of the role.
 *
 * serve: CONFIG first, then any number of MANIFEST and BLOB, each with an id of its own. fetch: DONE to each, and
 * PROGRESS about once a second while anything is under way, so that serve can tell waiting from hanging.
 */
#ifndef CRISP_FETCH_PROTOCOL_H
#define CRISP_FETCH_PROTOCOL_H

#include "base/clock.h"
#include "wire/message.h"

#define FETCH_SOCKET       3
#define FETCH_ARCHIVE      4        /* of the role `archive`, which answers in fetch's place: the file or directory */
#define FETCH_QUEUE_MAX    1024     /* requests at once, waiting ones included */
#define FETCH_SILENCE_MAX  (60 * NS_PER_S)   /* without a word while something is under way */

enum fetch_message {
	FETCH_CONFIG = 1,   /* descriptor: registry_config's JSON; LOG_LEVEL */
	FETCH_MANIFEST,     /* NAME, DEADLINE; from an archive also NAME "": its table of contents */
	FETCH_BLOB,         /* NAME, SIZE, IDLE; descriptor: the pipe */
	FETCH_DONE,         /* the error's fields, or: TYPE and the body's descriptor for a manifest. Id 0: fetch cannot go on */
	FETCH_PROGRESS,     /* at work */
};

enum fetch_tag {
	FETCH_TAG_NAME = MESSAGE_TAG_FIRST,
	FETCH_TAG_DEADLINE,
	FETCH_TAG_SIZE,
	FETCH_TAG_IDLE,
	FETCH_TAG_TYPE,
	FETCH_TAG_LOG_LEVEL,
};

#endif
