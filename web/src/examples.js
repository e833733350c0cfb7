// The main job, an operation a tab.
const json = (value) => JSON.stringify(value, null, 2);

export const EXAMPLES = [
  {
    query: `# Sign up (choose a password below), then log
# in at the top. The tabs lead from a new
# account to clinical notes.
mutation SignUp($input: SignUpInput!) {
  signUp(input: $input) {
    user { id email fullName role timezone }
    userErrors { code message field }
  }
}
`,
    variables: json({
      input: {
        email: 'therapist@example.org',
        password: '',
        fullName: 'Ada Example',
        role: 'THERAPIST',
        timezone: 'Europe/Berlin',
      },
    }),
  },
  {
    query: `# Who is logged in at the top of the page.
# Programs use the mutation logIn instead.
query Viewer {
  viewer { id email fullName role timezone }
}
`,
  },
  {
    query: `mutation CreatePatient($input: CreatePatientInput!) {
  createPatient(input: $input) {
    patient { id name }
    userErrors { code message field }
  }
}
`,
    variables: json({ input: { name: 'Test Patient' } }),
  },
  {
    query: `# Choose a recording at the top, "Attach file":
# it goes where the variables have input.audio.
mutation Upload($input: UploadSessionInput!) {
  uploadSession(input: $input) {
    session { id status sessionDate }
    userErrors { code message field }
  }
}
`,
    variables: json({ input: { patientId: 'the id of the patient', audio: 'the attached file' } }),
  },
  {
    query: `# Ends when the notes are written, or
# processing has failed.
subscription Watch($id: ID!) {
  sessionUpdated(id: $id) {
    status
    progress
    version
    errorMessage
  }
}
`,
    variables: json({ id: 'the id of the session' }),
  },
  {
    query: `query Notes($id: ID!) {
  session(id: $id) {
    status
    transcriptText
    notes {
      keyTopics
      topicSummary
      strategies { text }
      actionItems { text }
      sessionMood
      moodTrajectory
      therapistNotes
      patientSummary
      riskFlags {
        kind
        severity
        text
        evidence { quote verdict startMs endMs }
      }
    }
  }
}
`,
    variables: json({ id: 'the id of the session' }),
  },
];
