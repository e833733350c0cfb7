// One query of the API, as a good engineer writes it by hand on Mercurius: compiled (JIT), patients by a loader, pages by
// keyset, prepared statements of just the columns that are needed, and who asks looked up in the database for every request.
// It takes what it needs from the environment, and prints its port once it listens.

import fastifyJwt from '@fastify/jwt';
import Fastify from 'fastify';
import mercurius from 'mercurius';
import pg from 'pg';

const { CONNECTIONS, JWT_SECRET } = process.env;

// As the answer has them: times as RFC 3339, days as they are, and numbers that fit as numbers.
const { builtins } = pg.types;
pg.types.setTypeParser(builtins.TIMESTAMPTZ, (text) => `${text.replace(' ', 'T')}:00`);
pg.types.setTypeParser(builtins.DATE, (text) => text);
pg.types.setTypeParser(builtins.INT8, Number);

const pool = new pg.Pool({ max: Number(CONNECTIONS), idleTimeoutMillis: 0, options: '-c TimeZone=UTC' });

// A named statement is prepared once a connection.
const rows = async (name, text, values) => (await pool.query({ name, text, values })).rows;

const schema = `
  scalar Date
  scalar DateTime
  enum Attendance { SCHEDULED COMPLETED CANCELLED NO_SHOW }
  enum SessionStatus { UPLOADING TRANSCRIBING TRANSCRIBED EXTRACTING_NOTES PROCESSED FAILED }
  type Patient { id: ID! name: String email: String phone: String archivedAt: DateTime }
  type Session {
    id: ID!
    sessionDate: Date!
    scheduledStart: DateTime
    durationMinutes: Int
    attendance: Attendance!
    status: SessionStatus
    progress: Int!
    version: Int!
    patient: Patient
  }
  type PageInfo { hasNextPage: Boolean! endCursor: String }
  type SessionConnection { nodes: [Session!]! pageInfo: PageInfo! totalCount: Int! }
  type Query { sessions(first: Int, after: String): SessionConnection! }
`;

const SESSIONS = `SELECT id, patient_id AS "patientId", session_date AS "sessionDate", scheduled_start AS "scheduledStart",
  duration_minutes AS "durationMinutes", attendance, status, progress, version
  FROM sessions WHERE therapist_id = $1`;
const PAGE = 'ORDER BY id DESC LIMIT $2';

const cursor = (id) => `c${id.replaceAll('-', '')}`;

function pageArgs({ first = 25, after }) {
  if (first < 1 || first > 100) throw new mercurius.ErrorWithProps('`first` must be 1 to 100.');
  if (after && !/^c[0-9a-f]{32}$/.test(after)) throw new mercurius.ErrorWithProps('`after` is no cursor.');
  return { first, after: after?.slice(1) };
}

const resolvers = {
  Query: {
    async sessions(_, args, { asker }) {
      if (!asker) throw new mercurius.ErrorWithProps('Log in first.', { code: 'UNAUTHENTICATED' });
      const { first, after } = pageArgs(args);
      // One more than asked tells whether there is another page.
      const found = after
        ? await rows('sessions-after', `${SESSIONS} AND id < $3 ${PAGE}`, [asker.id, first + 1, after])
        : await rows('sessions', `${SESSIONS} ${PAGE}`, [asker.id, first + 1]);
      const nodes = found.slice(0, first);
      const endCursor = nodes.length ? cursor(nodes.at(-1).id) : null;
      return { nodes, pageInfo: { hasNextPage: found.length > first, endCursor } };
    },
  },
  SessionConnection: {
    async totalCount(_, __, { asker }) {
      const count = 'SELECT count(*) AS count FROM sessions WHERE therapist_id = $1';
      return (await rows('count', count, [asker.id]))[0].count;
    },
  },
};

const PATIENTS = `SELECT id, name, email, phone, archived_at AS "archivedAt" FROM patients
  WHERE therapist_id = $1 AND id = ANY($2::uuid[])`;

const loaders = {
  Session: {
    patient: {
      async loader(queries, { asker }) {
        const ids = [...new Set(queries.map(({ obj }) => obj.patientId))];
        const byId = new Map((await rows('patients', PATIENTS, [asker.id, ids])).map((row) => [row.id, row]));
        return queries.map(({ obj }) => byId.get(obj.patientId) ?? null);
      },
      // Ids are made unique above, which costs less than keys of what is asked.
      opts: { cache: false },
    },
  },
};

const LOG_IN = `SELECT id, role FROM users WHERE id = $1 AND is_active AND EXISTS (SELECT 1 FROM auth_sessions
  WHERE family_id = $2 AND user_id = $1 AND NOT is_revoked)`;

// A token that is not good is refused; one whose log-in has ended since, too.
async function context(request) {
  if (!request.headers.authorization) return { asker: null };
  const { sub, sid } = await request.jwtVerify();
  const [asker] = await rows('log-in', LOG_IN, [sub, sid]);
  if (!asker || asker.role !== 'THERAPIST') {
    throw new mercurius.ErrorWithProps('Log in first.', { code: 'UNAUTHENTICATED' }, 401);
  }
  return { asker };
}

const app = Fastify();
app.register(fastifyJwt, {
  secret: JWT_SECRET,
  verify: { algorithms: ['HS256'], allowedIss: 'therapybridge', allowedAud: 'therapybridge-api' },
});
app.register(mercurius, { schema, resolvers, loaders, context, jit: 1 });
await app.listen({ host: '127.0.0.1', port: 0 });
console.log(app.server.address().port);
